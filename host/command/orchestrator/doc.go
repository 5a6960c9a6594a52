// Package orchestrator is the command path to a program that exists already and
// knows commands of its own. It serves a Unix socket; we call it.
//
// # The dialect
//
// A request and a reply are a line of JSON each:
//
//	{"command":"data/list","params":{…}}
//	{"success":true,"result":…}   or   {"success":false,"error":"…"}
//
// There are no ids, requests are handled concurrently, and so are replies: two
// requests on one connection may be answered in either order. Hence one request
// at a time on each of a few connections, and a connection whose reply did not
// come is thrown away, since that reply would be taken for the next one's. The
// other side decodes what it receives piece by piece, so what we send is ASCII.
// It gives no answer to whoever closes his half, and it has no time-out.
//
// A reply fails in two places: the envelope's success may be false, or the
// result's. What the result repeats of the params is taken out of it, and so are
// context and sessionId.
//
// # States
//
// A [Client] connects when it is first called. When that fails, or a connection
// ends before it has answered anything, it waits for a growing time before it
// tries again; calls in that time fail at once with abi.Unavailable. A connection
// that ended while nobody used it is replaced without notice. A request that may
// have been received is never sent a second time.
//
// # The outbox
//
// [Outbox] delivers the events of the event log, in order of their ids and at
// least once: its place in the log is in the host's database, and moves behind an
// event when that was answered. Each event carries the id by which a receiver
// knows one that it has already. While the orchestrator is away the outbox waits.
// An event that is refused is tried again some times, then skipped, which is told
// in the log as outbox:skipped. What the log no longer keeps when its turn comes
// is told as outbox:lost.
package orchestrator
