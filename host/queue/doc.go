// Package queue keeps the host's tasks: durable, ordered by priority, retried
// with back-off, one queue per worker.
//
// It is a layer over River on the host's own SQLite database. What a task is
// stored as is River's business; this package gives it the host's words, types
// its failures with abi.Code, and adds what River leaves to its user: progress
// that other processes can watch, a host that takes up its own interrupted
// tasks at once, and cancelling without waiting for a poll.
//
// # States
//
//	submit ──> queued ──> running ──> completed
//	   │          ^          │
//	   │          │          ├──> retrying ──> queued   failed, has attempts left
//	   └─> scheduled         ├──> scheduled ──> queued  asked to be run later
//	                         ├──> queued                the host stopped or died
//	                         ├──> dead                  failed for good
//	                         └──> cancelled             a person cancelled it
//
// A task that waits for its time is retrying if it has failed before and
// scheduled if it has not. A failure whose code is not retryable (see
// [abi.Code.Retryable]) makes a task dead at once, any other when its attempts
// are used up. Dead and cancelled tasks are kept for a while and can be put back
// with [Queue.Retry].
//
// # What is durable when
//
// A task is on disk when [Queue.Submit] returns. That it completed, with its
// result, is written as soon as its run returns; how it failed, within 300 ms.
// A host that is killed in between runs the task again, so a run must be safe
// to repeat. Progress is on disk within 250 ms, and never after the completion.
//
// # Processes
//
// Any number of processes may open the same database and submit, list, cancel
// and retry, with or without a started host beside them. A started queue looks
// for news every 50 ms (River's notifications are rows in a table, on SQLite):
// it begins a task that another process submitted, and ends a run that another
// process cancelled, within 55 ms on an idle machine. Should a notification be
// lost, a task is found by the next poll, a cancelled run within a minute.
// Within one process cancelling is immediate.
//
// # A host that dies
//
// [Config.HostID] says whose tasks are whose. [Queue.Start] makes the tasks that
// this host left running available again before it fetches anything, with a
// failure of code interrupted and, for the first twenty times, the attempt given
// back; after that they count, so that a task that kills its host ends as dead.
//
// Whoever calls Start must therefore make sure that no other process with the
// same HostID is alive, by an exclusive file lock, and keep the HostID across
// restarts. Tasks of a host that never returns are taken over by the others an
// hour after the longest deadline of any worker.
package queue
