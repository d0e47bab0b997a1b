package main

func (h *harness) hostile() error { return nil }
