"""Tests of rules: their cases judged by the same evaluator as everything else, and compared with what they expect."""
