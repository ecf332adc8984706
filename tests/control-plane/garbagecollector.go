package main

import (
	"context"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
)

const (
	// gcDiscoveryPeriod is how often the garbage collector looks for new kinds
	// of objects, such as those of a CRD that a test has just made. Only from
	// then on does it know the owners among them. kube-controller-manager has
	// 30 seconds here and no flag to change it.
	gcDiscoveryPeriod = time.Second
	// gcInitialSync is how long it waits for its informers before it begins.
	gcInitialSync = 30 * time.Second
)

// addGarbageCollector adds the controller that deletes objects whose owners
// are gone.
func addGarbageCollector(ctx context.Context, s *controllerSet) error {
	graph := garbagecollector.NewDependencyGraphBuilder(ctx, s.metadata, s.mapper,
		garbagecollector.DefaultIgnoredResources(), s.all, s.started)
	gc, err := garbagecollector.NewComposedGarbageCollector(ctx, s.client, s.metadata, s.mapper, graph)
	if err != nil {
		return err
	}
	client, err := discovery.NewDiscoveryClientForConfig(s.config)
	if err != nil {
		return err
	}
	s.add(func(ctx context.Context) { gc.Run(ctx, workers, gcInitialSync) })
	s.add(func(ctx context.Context) { gc.Sync(ctx, client, gcDiscoveryPeriod) })
	return nil
}
