"""Reading the state of a deployment. Nothing here changes anything."""
