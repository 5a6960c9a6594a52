// Package lora trains an [embed.Adapter] on pairs of texts that belong together,
// such as the subject of a mail and its body, so that the vector of one is nearer
// to that of its partner than to those of others. The model that made the vectors
// stays as it is; what is trained are the two matrices of low rank.
//
// A batch of n pairs is n questions with n answers each, of which one is right:
// the loss (InfoNCE) is the cross-entropy of the cosines, divided by the
// temperature, from anchors to positives and back. Adam follows its gradient.
//
// Everything is plain loops over float32 that come to the same bits on every
// machine, natively and in a guest (package vec), and random numbers are those of
// PCG from the seed. So the same pairs and options give the same adapter, and a
// trainer that was set to the state of another after some epoch ends as that one.
//
// It uses nothing but the standard library, and no memory while an epoch runs but
// what New and Evaluate took.
package lora
