package main

func defaultStateDir() string { return "/Library/Application Support/Kith" }

// unit is for systemd alone.
const unit = ""
