"""Looking at pictures: image processors, models on the device, what they answer."""
