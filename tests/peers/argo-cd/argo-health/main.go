// Command argo-health answers what Argo CD thinks of an object: with the checks that Argo CD ships, or with Lua of
// one's own, in the interpreter that Argo CD uses.
//
// Each line on stdin is a question and each line on stdout its answer, both JSON, in the same order. What the
// interpreter refuses is an answer too: {"refused": "why"}. Anything else that goes wrong ends the program.
//
//	{"ask": "health", "check": …, "object": …}      {"status": …, "message": …}
//	{"ask": "health", "lua": …, "object": …}        {"status": …, "message": …}
//	{"ask": "discovery", "lua": …, "object": …}     {"actions": {"NAME": {…}, …}}
//	{"ask": "action", "lua": …, "object": …}        {"object": …}
//	{"ask": "files", "check": …}                    {"files": {"PATH": "text", …}}
//
// A check is "built-in" or "built-in-before"; checks.go says which these are. "files" are all that Argo CD has for
// SealedSecrets, its own test data among them.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

type question struct {
	Ask    string         `json:"ask"`
	Check  string         `json:"check"`
	Lua    string         `json:"lua"`
	Object map[string]any `json:"object"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "argo-health: %v\n", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	questions, answers := json.NewDecoder(in), bufio.NewWriter(out)
	for {
		var question question
		if err := questions.Decode(&question); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		answer, err := answerTo(question)
		if _, ok := err.(refusal); ok {
			answer = map[string]any{"refused": err.Error()}
		} else if err != nil {
			return err
		}
		if err := json.NewEncoder(answers).Encode(answer); err != nil {
			return err
		}
		// Whoever asks waits for the answer.
		if err := answers.Flush(); err != nil {
			return err
		}
	}
}

func answerTo(question question) (any, error) {
	switch question.Ask {
	case "health":
		script, libraries := question.Lua, safeLibraries
		if question.Check != "" {
			var err error
			if script, err = healthScript(question.Check); err != nil {
				return nil, err
			}
			libraries = allLibraries
		}
		return health(script, libraries, question.Object)
	case "discovery":
		return discovery(question.Lua, question.Object)
	case "action":
		return action(question.Lua, question.Object)
	case "files":
		return files(question.Check)
	}
	return nil, fmt.Errorf("what is to be asked by %q", question.Ask)
}
