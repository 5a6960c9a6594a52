// Package ai answers the commands ai/embed and ai/generate.
//
// A [Service] has models by name, as the operator configured them. Callers say a
// name, or nothing for the one that is meant then; they never say an address. Who
// answers is a model's provider:
//
//	static      the table of package embed: vectors, at once and for nothing
//	extractive  the sentences of what it is given that are nearest to the question,
//	            by the same table: no model wrote anything, and the answer says so
//	openai      a server that speaks OpenAI's protocol
//
// # What is spent
//
// Before a server is asked, what the call may take is reserved in the caller's
// [command.Budget], and what it took is put in its place afterwards. A call that
// failed when the server had begun to work keeps its reservation, since it may be
// paid for. What is not known, tokens that a server does not tell or a price that
// is not configured, is nil and never 0.
//
// # Once
//
// A server's answer to a task's call is written to the host's database before the
// task gets it ([Records]). A task that comes again, also after the host was
// killed, gets the recorded answer, and the server is not asked. Which call it is
// says the caller's param key, whatever the call asks; or without one its number in
// the task, and then only for the same params, since another question must not get
// the answer to this one.
//
// One window stays: a server has answered and the host dies before the answer is
// on disk. The request comes again then, and is paid for twice unless the server
// honours the header Idempotency-Key, which is the same both times. So it is for a
// request whose connection broke.
package ai
