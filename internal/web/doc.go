// Package web tells metrics and health over HTTP. It only tells: nothing can be
// changed through it.
//
//	GET /         what there is, or the status page (package statuspage)
//	GET /metrics  for Prometheus
//	GET /healthz  200 while the manager answers within a second, else 503
//	GET /readyz   200 once the first joins were made and until the daemon ends, else 503
//
// An answer of 503 says why.
package web
