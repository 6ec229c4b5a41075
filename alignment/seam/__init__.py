"""What the web app and the trainer both know: records, events, folders, settings. Torch-free."""
