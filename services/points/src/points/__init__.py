"""Points (积分): who earned how many and for what, kept in double entry."""
