"""Backups (备份): whole database servers and their logs, encrypted, in a folder or an S3 store; and the way back."""
