// Training is the worker that trains an adapter for the model of package embed on
// pairs of texts that belong together, so that the embedding worker finds what
// belongs to a text of that kind.
//
// A task reads the examples in pages, embeds both texts of each with the model,
// which stays as it is, and trains two matrices of low rank in the guest (package
// lora). About a fifth of the examples, by a hash of their keys, are not trained
// on: by them it measures what searching is like without the adapter and with it.
// The adapter becomes a row of lora_adapters. Then the embedding worker is asked
// for vectors with it, which must be those that it gives here.
//
// After each epoch everything that the next one needs is a row of
// training_checkpoints, so a task that is cut off goes on behind its last epoch,
// and comes to the same numbers as one that was not. When the examples or the
// configuration have changed meanwhile, it begins anew and says so. A task makes
// one adapter, under an id of its own; its checkpoint is deleted in the end.
//
// An example without two texts that the model knows something of is passed over
// and counted.
//
// # Payload
//
//	collection       default: training_examples
//	source_handle    default: the task's handle for the role source, or primary
//	key              default: id; a column that is unique
//	anchor_column    default: anchor; what will be searched with, such as a subject
//	positive_column  default: positive; what is to be found, such as a body
//	limit            examples that are read at most, the first by key
//	adapter          the id of the adapter; default: task-ID
//	batch_size       pairs of a step, and rows of a page; default: config
//	                 training.batchSize, or 64
//	rank             of the matrices, 1 to 64; default: 16
//	epochs           1 to 200; default: 10
//	learning_rate    over 0 and up to 1; default: 0.001
//	temperature      0.01 to 1; default: 0.05
//	held_out         share of the examples to measure by, 0.01 to 0.5; default: 0.2
//	seed             a whole number; default: 1
//
// The adapters and the checkpoints are behind the task's handle for the role
// adapters, or primary.
//
// # Events
//
// training:progress for every epoch, with the mean loss of its batches, and
// training:complete at the end. They are recorded once, however often the task is
// run.
package main

import (
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/embed"
)

func init() {
	embed.Load()
	sdk.Register(sdk.WorkerFunc(Train))
}

func main() {} // does not run in a guest
