package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	apiextensionsscheme "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/scheme"
	pluginvalidatingadmissionpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	k8sscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller"
	"k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/endpoint"
	"k8s.io/kubernetes/pkg/controller/endpointslice"
	"k8s.io/kubernetes/pkg/controller/endpointslicemirroring"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/resourcequota"
	serviceaccountcontroller "k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/controller/validatingadmissionpolicystatus"
	"k8s.io/kubernetes/pkg/generated/openapi"
	quotainstall "k8s.io/kubernetes/pkg/quota/v1/install"
	"k8s.io/kubernetes/pkg/serviceaccount"
)

// kube-controller-manager is a frame around some fifty controllers. Most of
// them serve nodes, pods and volumes, which this control plane has not, yet
// the frame's package pulls all of them into the build, parts of the kubelet
// included, and its garbage collector looks for new resources only every 30
// seconds. So the controllers that matter here are started from their own
// packages, the same code in the same way, only with periods fit for tests.

const (
	// workers of each controller. One test gives none of them much to do.
	workers = 2
	// resyncPeriod is how often informers hand out again what they hold.
	resyncPeriod = 12 * time.Hour
	// quotaDiscoveryPeriod is how often the quota controller looks for new
	// countable resources.
	quotaDiscoveryPeriod = 30 * time.Second
)

// controllerSet is what the controllers share, and the functions that run them.
type controllerSet struct {
	config    *rest.Config
	client    kubernetes.Interface
	metadata  metadata.Interface
	discovery discovery.DiscoveryInterface
	mapper    *restmapper.DeferredDiscoveryRESTMapper
	// typed holds the informers that controllers ask for by type, all those
	// and the ones for any other resource, of which only the metadata is kept.
	typed informers.SharedInformerFactory
	all   informerfactory.InformerFactory
	// started is closed when the informers run.
	started chan struct{}

	runs []func(context.Context)
}

func (s *controllerSet) add(run func(context.Context)) { s.runs = append(s.runs, run) }

// addWorkers adds a controller that runs with a number of workers.
func (s *controllerSet) addWorkers(run func(context.Context, int)) {
	s.add(func(ctx context.Context) { run(ctx, workers) })
}

// startControllers starts the controllers and returns when their informers
// hold the cluster's state, or an error when startCtx ends before. The
// controllers themselves run on until they are stopped.
func startControllers(startCtx context.Context, d *dataDir, p *pki, config *rest.Config) (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	s, err := newControllerSet(config)
	if err != nil {
		return nil, err
	}
	for _, add := range []func(context.Context, *controllerSet) error{
		func(ctx context.Context, s *controllerSet) error { return addServiceAccounts(ctx, s, d, p) },
		addNamespaces,
		addWorkloads,
		addEndpoints,
		addPolicies,
		addResourceQuota,
		addGarbageCollector,
	} {
		if err := add(ctx, s); err != nil {
			return nil, fmt.Errorf("controllers: %w", err)
		}
	}

	s.typed.Start(ctx.Done())
	s.all.Start(ctx.Done())
	close(s.started)
	var group sync.WaitGroup
	for _, run := range s.runs {
		group.Go(func() { run(ctx) })
	}
	for kind, synced := range s.typed.WaitForCacheSync(startCtx.Done()) {
		if !synced {
			return nil, fmt.Errorf("controllers: no list of %v: %w", kind, context.Cause(startCtx))
		}
	}
	return func() {
		cancel()
		group.Wait()
		s.typed.Shutdown()
	}, nil
}

func newControllerSet(config *rest.Config) (*controllerSet, error) {
	typedConfig := rest.CopyConfig(config)
	typedConfig.ContentType = "application/vnd.kubernetes.protobuf"
	typedConfig.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	client, err := kubernetes.NewForConfig(typedConfig)
	if err != nil {
		return nil, err
	}
	metadataClient, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	s := &controllerSet{
		config:    config,
		client:    client,
		metadata:  metadataClient,
		discovery: client.Discovery(),
		typed:     informers.NewSharedInformerFactory(client, resyncPeriod),
		started:   make(chan struct{}),
	}
	// The mapper's cache must not be the discovery client that the garbage
	// collector asks what is new.
	mapperDiscovery, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	s.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(mapperDiscovery))
	s.all = informerfactory.NewInformerFactory(s.typed, metadatainformer.NewSharedInformerFactory(metadataClient, resyncPeriod))
	return s, nil
}

// addServiceAccounts adds what belongs to service accounts: the account
// "default" of each namespace, token Secrets, and the ConfigMap
// kube-root-ca.crt.
func addServiceAccounts(ctx context.Context, s *controllerSet, d *dataDir, p *pki) error {
	core := s.typed.Core().V1()
	logger := klog.FromContext(ctx)

	accounts, err := serviceaccountcontroller.NewServiceAccountsController(logger, core.ServiceAccounts(), core.Namespaces(), s.client,
		serviceaccountcontroller.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return err
	}
	s.addWorkers(accounts.Run)

	key, err := keyutil.PrivateKeyFromFile(d.file(saKeyFile))
	if err != nil {
		return err
	}
	generator, err := serviceaccount.JWTTokenGenerator(serviceaccount.LegacyIssuer, key)
	if err != nil {
		return err
	}
	tokens, err := serviceaccountcontroller.NewTokensController(logger, core.ServiceAccounts(), core.Secrets(), s.client,
		serviceaccountcontroller.TokensControllerOptions{TokenGenerator: generator, RootCA: p.caPEM})
	if err != nil {
		return err
	}
	s.addWorkers(tokens.Run)

	publisher, err := rootcacertpublisher.NewPublisher(core.ConfigMaps(), core.Namespaces(), s.client, p.caPEM)
	if err != nil {
		return err
	}
	s.addWorkers(publisher.Run)
	return nil
}

// addNamespaces adds the controller that empties and removes deleted namespaces.
func addNamespaces(ctx context.Context, s *controllerSet) error {
	c := namespace.NewNamespaceController(ctx, s.client, s.metadata, s.discovery.ServerPreferredNamespacedResources,
		s.typed.Core().V1().Namespaces(), 5*time.Minute, v1.FinalizerKubernetes)
	s.addWorkers(c.Run)
	return nil
}

// addWorkloads adds Deployments and ReplicaSets. The pods they make stay
// pending: there are no nodes.
func addWorkloads(ctx context.Context, s *controllerSet) error {
	apps, pods := s.typed.Apps().V1(), s.typed.Core().V1().Pods()
	deployments, err := deployment.NewDeploymentController(ctx, apps.Deployments(), apps.ReplicaSets(), pods, s.client)
	if err != nil {
		return err
	}
	s.addWorkers(deployments.Run)
	replicaSets := replicaset.NewReplicaSetController(ctx, apps.ReplicaSets(), pods, s.client, replicaset.BurstReplicas)
	s.addWorkers(replicaSets.Run)
	return nil
}

// addEndpoints adds what leads from a Service to addresses. A test that gives
// a Service its Endpoints by hand gets EndpointSlices for them too, which is
// where the API server looks.
func addEndpoints(ctx context.Context, s *controllerSet) error {
	core, slices := s.typed.Core().V1(), s.typed.Discovery().V1().EndpointSlices()
	s.addWorkers(endpoint.NewEndpointController(ctx, core.Pods(), core.Services(), core.Endpoints(), s.client, 0).Run)
	s.addWorkers(endpointslice.NewController(ctx, core.Pods(), core.Services(), core.Nodes(), slices, 100, s.client, 0).Run)
	s.addWorkers(endpointslicemirroring.NewController(ctx, core.Endpoints(), slices, core.Services(), 1000, s.client, 0).Run)
	return nil
}

// addPolicies adds the aggregation of ClusterRoles and the type check of
// ValidatingAdmissionPolicies.
func addPolicies(_ context.Context, s *controllerSet) error {
	s.addWorkers(clusterroleaggregation.NewClusterRoleAggregation(s.typed.Rbac().V1().ClusterRoles(), s.client.RbacV1()).Run)

	checker := &pluginvalidatingadmissionpolicy.TypeChecker{
		SchemaResolver: resolver.NewDefinitionsSchemaResolver(openapi.GetOpenAPIDefinitions, k8sscheme.Scheme, apiextensionsscheme.Scheme).
			Combine(&resolver.ClientDiscoveryResolver{Discovery: s.discovery}),
		RestMapper: s.mapper,
	}
	status, err := validatingadmissionpolicystatus.NewController(s.typed.Admissionregistration().V1().ValidatingAdmissionPolicies(),
		s.client.AdmissionregistrationV1().ValidatingAdmissionPolicies(), checker)
	if err != nil {
		return err
	}
	s.addWorkers(status.Run)
	return nil
}

// addResourceQuota adds the controller that counts what quotas limit.
func addResourceQuota(ctx context.Context, s *controllerSet) error {
	configuration, err := quotainstall.NewQuotaConfigurationForControllers(generic.ListerFuncForResourceFunc(s.typed.ForResource), s.typed)
	if err != nil {
		return err
	}
	discover := s.discovery.ServerPreferredNamespacedResources
	quotas, err := resourcequota.NewController(ctx, &resourcequota.ControllerOptions{
		QuotaClient:               s.client.CoreV1(),
		ResourceQuotaInformer:     s.typed.Core().V1().ResourceQuotas(),
		ResyncPeriod:              controller.StaticResyncPeriodFunc(5 * time.Minute),
		InformerFactory:           s.all,
		ReplenishmentResyncPeriod: controller.StaticResyncPeriodFunc(resyncPeriod),
		DiscoveryFunc:             discover,
		IgnoredResourcesFunc:      configuration.IgnoredResources,
		InformersStarted:          s.started,
		Registry:                  generic.NewRegistry(configuration.Evaluators()),
		UpdateFilter:              quotainstall.DefaultUpdateFilter(),
	})
	if err != nil {
		return err
	}
	s.addWorkers(quotas.Run)
	s.add(func(ctx context.Context) { quotas.Sync(ctx, discover, quotaDiscoveryPeriod) })
	return nil
}
