"""Videos: frames that go on from each other, and files of them."""
