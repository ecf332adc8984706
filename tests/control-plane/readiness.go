package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// pollInterval is short because a start takes only seconds.
const pollInterval = 20 * time.Millisecond

// waitForAPIServer waits until the API server calls itself ready.
func waitForAPIServer(ctx context.Context, client kubernetes.Interface) error {
	return poll(ctx, "kube-apiserver is not ready", func() error {
		body, err := client.CoreV1().RESTClient().Get().AbsPath("/readyz").Param("verbose", "").Do(ctx).Raw()
		if err == nil {
			return nil
		}
		var missing []string
		for line := range strings.Lines(string(body)) {
			if strings.HasPrefix(line, "[-]") {
				missing = append(missing, strings.TrimSpace(line))
			}
		}
		if len(missing) > 0 {
			return errors.New(strings.Join(missing, ", "))
		}
		return err
	})
}

// waitForDefaultNamespace waits for the namespace "default", which the API
// server makes, and for its service account, which proves that the controllers
// do their work.
func waitForDefaultNamespace(ctx context.Context, client kubernetes.Interface) error {
	return poll(ctx, "the namespace default is not ready", func() error {
		if _, err := client.CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{}); err != nil {
			return err
		}
		_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return errors.New("its service account does not exist yet")
		}
		return err
	})
}

// poll calls check until it succeeds. When ctx ends it reports what check said
// last, under the given headline.
func poll(ctx context.Context, headline string, check func() error) error {
	var last error
	for {
		err := check()
		if err == nil {
			return nil
		}
		// The error of a request that ctx cut short tells nothing.
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s (%w): %w", headline, context.Cause(ctx), last)
		case <-time.After(pollInterval):
		}
	}
}

// adminClient is the client that the start itself uses.
func adminClient(config *rest.Config) (kubernetes.Interface, error) {
	config = rest.CopyConfig(config)
	config.Timeout = 5 * time.Second
	return kubernetes.NewForConfig(config)
}
