#!/bin/sh
emit mount / free_gib 1 free_percent 1
