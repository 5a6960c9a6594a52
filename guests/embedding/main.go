// Embedding is the worker that gives texts their vectors and finds the texts
// that are nearest to a question.
//
// A task goes through one collection by its key, a page at a time. A row gets a
// new vector if it has none, or one of another model, of another dimension or of
// an older text: a hash of the text is stored beside the vector. All four are
// written by one update of the page, so a task that is cut off and run again
// passes over what it has done, and a second task over the same rows writes
// nothing.
//
// A text without anything that the model knows, such as NULL, has no vector: one
// that an older text left is removed. The result counts what was found of each
// kind.
//
// # Payload
//
//	collection        default: documents
//	source_handle     default: the task's handle for the role source, or primary
//	key               default: id; a column that is unique
//	text_column       default: content
//	vector_column     default: embedding; float32, little-endian
//	model_column      default: embedding_model
//	dimension_column  default: embedding_dim
//	hash_column       default: embedding_hash
//	batch_size        rows of a page; default: config embedding.batchSize, or 100
//
// The config embedding.model names the model; static, the one that is built in,
// is the only one and the default.
//
// # Events
//
// embedding:progress for every page, and embedding:complete at the end. They are
// recorded once, however often the task is run.
//
// # The command embedding/query
//
// Takes text, k (10, at most 100), collection, source_handle, key, vector_column,
// model_column and columns, the columns that are wanted beside the key. It answers
// with model and hits, the nearest rows by cosine, best first, each with key,
// score and columns, and with compared and skipped, the rows with a vector that
// were compared and could not be.
package main

import (
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/embed"
)

func init() {
	embed.Load()
	sdk.Register(sdk.WorkerFunc(Work))
}

func main() {} // does not run in a guest

const commandQuery = "embedding/query"

// Work does one task, or answers one call of the command.
func Work(t *sdk.Task) error {
	if t.Kind == commandQuery {
		return Query(t)
	}
	return Embed(t)
}
