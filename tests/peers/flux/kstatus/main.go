// Command kstatus answers what Flux thinks of an object: by kstatus, the library that decides with `wait: true`, or by
// health check expressions in CEL, evaluated as kustomize-controller evaluates them.
//
// Each line on stdin is a question and each line on stdout its answer, both JSON, in the same order:
//
//	{"object": …}                                          {"status": …, "message": …}
//	{"object": …, "expressions": {"current": …, …}}        {"status": …, "message": …}
//
// An expression that fails gives the status Unknown and an error beside it, {"error": …}: for Flux that is no end, it
// goes on waiting. Anything else that goes wrong ends the program.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type question struct {
	Object      json.RawMessage                   `json:"object"`
	Expressions *kustomize.HealthCheckExpressions `json:"expressions"`
}

type answer struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Error   string `json:"error,omitempty"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "kstatus: %v\n", err)
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
		// As a client reads objects: whole numbers stay whole, which kstatus and CEL ask for.
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(question.Object); err != nil {
			return err
		}
		answer, err := answerTo(object, question.Expressions)
		if err != nil {
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

func answerTo(object *unstructured.Unstructured, expressions *kustomize.HealthCheckExpressions) (answer, error) {
	if expressions == nil {
		result, err := status.Compute(object)
		if err != nil {
			return answer{}, err
		}
		return answer{Status: result.Status.String(), Message: result.Message}, nil
	}
	reader, err := cel.NewStatusReader([]kustomize.CustomHealthCheck{{
		APIVersion:             object.GetAPIVersion(),
		Kind:                   object.GetKind(),
		HealthCheckExpressions: *expressions,
	}})
	if err != nil {
		return answer{}, err
	}
	// The object is here already: neither a mapper nor a client is asked.
	result, err := reader(nil).ReadStatusForObject(context.Background(), nil, object)
	if err != nil {
		return answer{}, err
	}
	found := answer{Status: result.Status.String(), Message: result.Message}
	if result.Error != nil {
		found.Error = result.Error.Error()
	}
	return found, nil
}
