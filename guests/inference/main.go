// Inference is the worker that answers the last message of a conversation.
//
// A task names the conversation. The worker reads its last rows of chat_messages
// and the session, asks a model with the host's command ai/generate, and writes
// one row into ai_generations: tokens, cost, time, how it ended. With reply it
// writes the answer into the conversation too, in the same transaction.
//
// # Once
//
// The row's id is of the task: the next attempt finds it and asks nobody. An
// attempt that was cut off before the row was there asks again under the same key,
// and the host answers from its record what it has paid for, also when the
// conversation has gone on meanwhile. So there is one row, one reply and one bill
// for each task, atomic or not.
//
// # Failure
//
// A failure that another attempt will not mend, such as a budget that is used up
// or a model that is not there, is the task's outcome: a row with success 0 and the
// error, and inference:failed. Others fail the attempt; the last that config
// inference.maxAttempts allows writes the row.
//
// # Payload
//
//	room_id        the conversation; required, and may be called conversation
//	reply          write the answer into the conversation; default: false
//	model          a model of the host's; default: config inference.model, or the host's
//	system         what the model is told first; default: config inference.system
//	context        a list of texts that the answer may be taken from
//	max_tokens, temperature, seed   as ai/generate takes them
//	session_id     default: the host's default session
//	user_id        for whom; default: the session's userId
//	purpose        default: chat
//	sender_id, sender_name   of the reply; default: assistant, Assistant
//	source_handle  default: the task's handle for the role source, or primary
//
// Config inference.contextRows is how many rows are read, 1 to 200, or 20.
//
// # Events
//
// inference:complete or inference:failed, once for each task.
package main

import "github.com/wasmhost/wasmhost/sdk"

func init() { sdk.Register(sdk.WorkerFunc(Infer)) }

func main() {} // does not run in a guest
