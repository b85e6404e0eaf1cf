#!/bin/sh
emit pending true uptime_days 3 reason kernel
