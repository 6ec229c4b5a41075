"""What somebody else wrote and we must compute or read: apart from us, within limits."""
