package fetch

import "net"

func askAndroid(path string) *net.Resolver { return nil }
