"""Faults (混沌测试): everything breaks in turn while people work; nothing is lost, and nothing done twice."""
