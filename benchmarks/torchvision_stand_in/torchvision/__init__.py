"""What peers take from torchvision, which has no build beside PyTorch's CPU build."""
