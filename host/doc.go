// Package host composes the parts into the program that serves workers.
//
// [New] opens everything: the host's own database (tasks, events, sessions),
// the databases behind the handles, the engine, and the workers in their
// folder. [Host.Run] serves until its context ends. The packages below this
// one do not know each other; what connects them is here:
//
//	queue ──► run a task ──► engine's sandbox ──► env ──► data.Access
//	                                                 └──► command.Router
//
// [State] is the host's own database by itself. Every process may open it
// beside a running host, which is how the command line submits, watches and
// cancels: there is no other channel, and none that can be out of step.
//
// # What happens on failure
//
// A worker that cannot be admitted is listed as refused with the reason, and
// the version before it and all others are served. A keeper decides about each
// worker, again at each piece of news; what is served follows from the folder, the
// operator's decisions and the history, so a host that is killed comes to the same. A handle whose database cannot be opened fails the
// calls that use it, with a typed error, and is tried again at each of them. A
// task that fails is retried or ends as package queue says. A host that is
// killed takes up its interrupted tasks when it starts again with the same
// state folder; an exclusive lock keeps a second host out of it.
package host
