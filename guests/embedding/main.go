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
// # Models
//
// The config embedding.model names the model:
//
//	static          the table that is built in; the default
//	static+lora:ID  the same behind an adapter, which is read from the collection
//	                lora_adapters of the task's handle for the role adapters, or
//	                primary; the training worker writes such
//	any other name  one that the host has: texts go to the command ai/embed in
//	                batches
//
// A row that the host's model refuses is left without a vector, and so is one that
// it answers with something else than a vector. When all others are done, the task
// fails for good and names those rows. An answer that cannot be right as a whole,
// or of another model or dimension than those before, ends the task.
//
// # Events
//
// embedding:progress for every page, and at the end embedding:complete, or
// embedding:failed when rows had to be left. They are recorded once, however often
// the task is run.
//
// # The command embedding/query
//
// Takes text, k (10, at most 100), collection, source_handle, key, vector_column,
// model_column and columns, the columns that are wanted beside the key. It answers
// with model and hits, the nearest rows by cosine, best first, each with key,
// score and columns, and with compared and skipped, the rows with a vector that
// were compared and could not be.
//
// Two more name queries of the operator's, which the worker must be granted:
//
//	vectors   compares in the database, in the worker's place. Its parameters are
//	          :vector (float32, little-endian), :model and :most; its columns are
//	          the key and the cosine distance, nearest first
//	keywords  searches the words, in a full-text index. Its parameters are :words,
//	          a query for FTS5 in which each word is quoted, and :most; its column
//	          is the key, best first
//
// With keywords the two rankings are mixed by reciprocal rank fusion, 100 rows of
// each, and every hit has in lists its places in those that it is in, and its
// cosine if it is among the nearest.
//
// # The command embedding/embed
//
// Takes texts, a list of up to 1000, and model: static, static+lora:ID or what the
// config names, which is the default. It answers with model, dimension and vectors,
// in the order of the texts, nil for one that has nothing that the model knows.
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

const (
	commandQuery = "embedding/query"
	commandTexts = "embedding/embed"
)

// Work does one task, or answers one call of a command.
func Work(t *sdk.Task) error {
	switch t.Kind {
	case commandQuery:
		return Query(t)
	case commandTexts:
		return EmbedTexts(t)
	}
	return Embed(t)
}
