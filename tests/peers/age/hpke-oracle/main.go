// Command hpke-oracle answers questions about HPKE with the KEM MLKEM768-X25519, as the age recipient
// `mlkem768x25519` uses it, with the implementation that Go's age is built on.
//
// Each line on stdin is a question and each line on stdout its answer, both JSON, in the same order; bytes are
// standard base64. What the library refuses is an answer too: {"refused": "why"}. Anything else that goes wrong ends
// the program.
//
//	{"ask": "public", "seed": …}                              {"public": …}
//	{"ask": "check", "public": …}                             {"public": …}
//	{"ask": "seal", "public": …, "info": …, "text": …}        {"enc": …, "sealed": …}
//	{"ask": "open", "seed": …, "enc": …, "info": …, "sealed": …}  {"text": …}
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"filippo.io/hpke"
)

type question struct {
	Ask    string `json:"ask"`
	Seed   []byte `json:"seed"`
	Public []byte `json:"public"`
	Info   []byte `json:"info"`
	Enc    []byte `json:"enc"`
	Sealed []byte `json:"sealed"`
	Text   []byte `json:"text"`
}

type answer struct {
	Public  []byte `json:"public,omitempty"`
	Enc     []byte `json:"enc,omitempty"`
	Sealed  []byte `json:"sealed,omitempty"`
	Text    []byte `json:"text,omitempty"`
	Refused string `json:"refused,omitempty"`
}

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "hpke-oracle:", err)
		os.Exit(1)
	}
}

func serve(in io.Reader, out io.Writer) error {
	questions := json.NewDecoder(bufio.NewReader(in))
	questions.DisallowUnknownFields()
	answers := json.NewEncoder(out)
	for {
		var asked question
		switch err := questions.Decode(&asked); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
		ask, known := asks[asked.Ask]
		if !known {
			return fmt.Errorf("no such question: %q", asked.Ask)
		}
		given, refused := ask(asked)
		if refused != nil {
			given = answer{Refused: refused.Error()}
		}
		if err := answers.Encode(given); err != nil {
			return err
		}
	}
}

var asks = map[string]func(question) (answer, error){
	"public": func(q question) (answer, error) {
		private, err := kem.NewPrivateKey(q.Seed)
		if err != nil {
			return answer{}, err
		}
		return answer{Public: private.PublicKey().Bytes()}, nil
	},
	"check": func(q question) (answer, error) {
		public, err := kem.NewPublicKey(q.Public)
		if err != nil {
			return answer{}, err
		}
		return answer{Public: public.Bytes()}, nil
	},
	"seal": func(q question) (answer, error) {
		public, err := kem.NewPublicKey(q.Public)
		if err != nil {
			return answer{}, err
		}
		enc, sender, err := hpke.NewSender(public, kdf, aead, q.Info)
		if err != nil {
			return answer{}, err
		}
		sealed, err := sender.Seal(nil, q.Text)
		if err != nil {
			return answer{}, err
		}
		return answer{Enc: enc, Sealed: sealed}, nil
	},
	"open": func(q question) (answer, error) {
		private, err := kem.NewPrivateKey(q.Seed)
		if err != nil {
			return answer{}, err
		}
		recipient, err := hpke.NewRecipient(q.Enc, private, kdf, aead, q.Info)
		if err != nil {
			// The share itself is bad, whoever it is for.
			return answer{}, fmt.Errorf("share: %w", err)
		}
		text, err := recipient.Open(nil, q.Sealed)
		if err != nil {
			// The key is another one, or something was changed.
			return answer{}, fmt.Errorf("text: %w", err)
		}
		return answer{Text: text}, nil
	},
}

var (
	kem  = hpke.MLKEM768X25519()
	kdf  = hpke.HKDFSHA256()
	aead = hpke.ChaCha20Poly1305()
)
