"""Notifications (通知): what a person is told of what happened to what is his."""
