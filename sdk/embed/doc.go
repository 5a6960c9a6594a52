// Package embed turns text into vectors whose cosine says how alike two texts
// are in meaning, with a table of 8 MB that is part of the package: no network,
// no model server, nothing but the standard library. It runs in guests and in
// the host, and gives the same bytes in both, on every machine.
//
// A text is cut into the word pieces of BERT's uncased vocabulary. Each piece
// has a vector, and the text's vector is their sum, made to have the length 1.
// So the order of words is lost, and what a word means does not depend on its
// neighbours. What that is good for, how good, and where the table comes from:
// docs/embeddings.md.
package embed
