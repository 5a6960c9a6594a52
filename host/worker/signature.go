package worker

import (
	"aead.dev/minisign"

	"github.com/wasmhost/wasmhost/abi"
)

// Policy is what must be true of a file before anything in it is believed.
type Policy struct {
	// RequireSignature refuses what no trusted key has signed.
	RequireSignature bool
	// TrustedKeys are minisign's public keys, as in the second line of its files.
	TrustedKeys []string
}

// Check holds a file against the policy. Without RequireSignature a signature is
// not looked at. Code: InvalidModule.
func (p Policy) Check(f *File) error {
	if !p.RequireSignature {
		return nil
	}
	if err := p.verify(f.Wasm, f.Signature, f.Name+SignatureSuffix); err != nil {
		return err
	}
	if f.Sidecar == nil {
		return nil
	}
	return p.verify(f.Sidecar, f.SidecarSignature, f.Name+SidecarSigSuffix)
}

func (p Policy) verify(content, signature []byte, file string) error {
	if signature == nil {
		return abi.Errorf(abi.InvalidModule, "signature: there is no %s, and admission.require_signature is set", file)
	}
	var s minisign.Signature
	if err := s.UnmarshalText(signature); err != nil {
		return abi.Errorf(abi.InvalidModule, "signature: %s is no minisign signature", file)
	}
	for _, text := range p.TrustedKeys {
		var key minisign.PublicKey
		if err := key.UnmarshalText([]byte(text)); err != nil {
			return abi.Errorf(abi.InvalidArgument, "signature: the trusted key %q is no minisign key", text)
		}
		if key.ID() != s.KeyID {
			continue
		}
		if !minisign.Verify(key, content, signature) {
			return abi.Errorf(abi.InvalidModule, "signature: %s is not of this file: it was changed after it was signed, or the signature is another's", file)
		}
		return nil
	}
	return abi.Errorf(abi.InvalidModule, "signature: %s is by the key %X, which is not in admission.trusted_keys", file, s.KeyID)
}
