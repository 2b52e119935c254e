// Package service speaks to the service manager that started the daemon, where
// one did: what sd_notify(3) sends and sd_listen_fds(3) brings.
package service
