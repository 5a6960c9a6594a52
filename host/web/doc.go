// Package web is what a host shows over HTTP:
//
//	/metrics   counters, for Prometheus
//	/healthz   200 while the host serves
//
// There is no authentication: listen on the loopback interface, or where only
// those reach it who may see how much the workers do.
package web
