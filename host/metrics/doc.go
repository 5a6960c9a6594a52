// Package metrics counts what workers take, and shows it to whoever scrapes.
//
// A [Bill] is what one attempt at a task took. The host keeps it with the task,
// puts it into the event that tells of the attempt's end, and adds it up here by
// worker. [Metrics.Handler] answers in the text format of Prometheus, whose
// client library does the counting. Names begin with wasmhost_, times are in
// seconds, sizes in bytes.
package metrics
