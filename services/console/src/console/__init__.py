"""The console (控制台): what the platform does, for those who keep it running."""
