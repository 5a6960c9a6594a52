// Package demo shows the whole of wasmhost at work on real rows, and proves
// that it did its work.
//
// [Run] makes a primary database of chat messages from public-domain text,
// keeps a copy of it aside, starts a host with the archive worker in this
// process, submits one task that archives all but the newest messages, and
// shows its progress. When the host has stopped it checks in SQL, without any
// help of host or worker, that the two databases together hold each row of the
// copy exactly once and byte for byte, and that the events tell the same
// story.
//
// A table of documents, real sentences, is embedded by the embedding worker, whose
// command embedding/query then answers three questions. Every vector and every
// answer is compared with those of native code. Any difference is an error that
// names the row.
//
// Everything is in one folder, which carries a marker file. A folder with
// other content and without the marker is refused; in one with the marker only
// the files that the demo itself made are made again. So running it twice is
// safe, and what it leaves behind can be looked at and played with.
package demo
