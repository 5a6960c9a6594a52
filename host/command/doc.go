// Package command is the way out of a sandbox for everything that is not SQL:
// calls by name, with a params object and a result.
//
// A [Router] finds the name's [Handler], checks the call against the caller's
// [Grants], decodes the params within bounds, gives the call a deadline, and
// encodes the result. The built-in commands, each in its own file, are
//
//	ping           -> that the host is there
//	events/emit    -> into the event log
//	config/get     -> out of the configuration, keys that were granted only
//	session/get    -> out of the sessions
//	session/set    -> into the sessions
//	session/delete -> out of them, for good
//	tasks/submit   -> into the queue
//	commands/list  -> the names that the caller may call
//
// Behind these come the commands that workers provide ([Router.Provide]): a
// [Provider] gets the params as they came. A command that waits for itself, over
// whatever others, is refused.
//
// A command that is not registered is the [Fallback]'s, such as an orchestrator's
// of package orchestrator below this one.
//
// # What a caller may do
//
// Nothing, unless it was granted: an empty [Grants] allows no command at all.
// Patterns are those of path.Match, so that "events/*" is every command of that
// family and "*" none that has a slash. A name that was not granted gets
// NotGranted whether there is such a command or not, so that an untrusted guest
// cannot find out. The host's own calls are made as [Operator].
//
// # The event log
//
// [Events] is a table in the host's database: an event is on disk when Emit
// returns, ids only ever go up and are handed out in the order of commits, also
// across restarts and across processes. Emitters that meet share a transaction.
// An event with a key is recorded once per worker and key, for as long as it is
// kept; emitting it again returns the first id. So a task that runs again after
// a crash emits nothing twice if it uses keys. The newest million events are
// kept; what a reader finds missing below that is gone.
//
// [Events.Follow] reads the log in order and then waits for more, also from
// other processes, within 50 ms. [Events.Subscribe] is for this process only and
// keeps nothing: it never delays an emitter, and tells a reader who was too slow
// from which id on it must read the log.
//
// # Sessions
//
// A session is a map with an id and an end. A worker sees the ones it set
// itself, and those of nobody, which the host set. Two workers that use the
// same id use two sessions.
package command
