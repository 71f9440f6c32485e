"""The U-Net and its sizes."""
