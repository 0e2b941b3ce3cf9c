"""What tests share: real servers and fakes, deployments, settings, waiting, and the check for leaks."""
