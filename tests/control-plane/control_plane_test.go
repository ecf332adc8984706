package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

var ctx = context.Background()

func TestControlPlane(t *testing.T) {
	dir := t.TempDir()
	i := start(t, dir)

	t.Run("version", func(t *testing.T) {
		version, err := i.client.Discovery().ServerVersion()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(version.GitVersion, "v1.") || version.Major != "1" {
			t.Errorf("server version %+v", version)
		}
	})
	t.Run("default namespace", func(t *testing.T) {
		// Both are promised once the line is out, so there is no waiting here.
		if _, err := i.client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	})

	const ns = "town"
	if _, err := i.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var token string
	t.Run("service account and RBAC", func(t *testing.T) { token = checkServiceAccount(t, i, ns) })
	t.Run("legacy token", func(t *testing.T) { checkLegacyToken(t, i, ns) })
	t.Run("garbage collection", func(t *testing.T) { checkGarbageCollection(t, i, ns) })
	t.Run("kubectl", func(t *testing.T) { checkKubectl(t, i, ns) })
	t.Run("service proxy", func(t *testing.T) { checkServiceProxy(t, i, ns) })
	t.Run("namespace deletion", func(t *testing.T) { checkNamespaceDeletion(t, i) })
	if t.Failed() {
		return
	}

	// Each start finds what the one before left, under the same address and
	// the same keys: the first administrator's kubeconfig and the first token
	// stay good.
	first := i
	check := func(t *testing.T, i *instance) {
		if i.config.Host != first.config.Host {
			t.Errorf("address %s, was %s", i.config.Host, first.config.Host)
		}
		if _, err := first.client.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{}); err != nil {
			t.Errorf("with the first kubeconfig: %v", err)
		}
		if _, err := tokenClient(t, i, token).CoreV1().ConfigMaps(ns).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{}); err != nil {
			t.Errorf("with the first token: %v", err)
		}
		if _, err := i.dynamic.Resource(houses).Namespace(ns).Get(ctx, "stays", metav1.GetOptions{}); err != nil {
			t.Errorf("custom resource: %v", err)
		}
		if _, err := i.client.CoreV1().Secrets(ns).Get(ctx, "stays", metav1.GetOptions{}); err != nil {
			t.Errorf("the Secret that it owns: %v", err)
		}
	}
	t.Log("restart after SIGTERM")
	i.terminate(t)
	i = start(t, dir)
	check(t, i)

	t.Log("restart after kill -9")
	i.kill()
	i = start(t, dir)
	check(t, i)
	// The garbage collector has learned anew who owns what.
	deleteHouse(t, i, ns, "stays", metav1.DeletePropagationBackground)

	t.Run("a second one on the same folder", func(t *testing.T) {
		failsToStart(t, "another control plane is running", "--data-dir", dir)
	})
	t.Run("end of stdin", func(t *testing.T) {
		// As it happens when the process that started it dies.
		i.stdin.Close()
		i.wait(t)
	})
}

func TestTwoAtOnce(t *testing.T) {
	// A long path, longer than a unix socket may have.
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	dirs := []string{t.TempDir(), long}
	both := make([]*instance, len(dirs))
	t.Run("start", func(t *testing.T) {
		for n, dir := range dirs {
			t.Run(strconv.Itoa(n), func(t *testing.T) {
				t.Parallel()
				both[n] = start(t, dir)
				_, err := both[n].client.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "same"}}, metav1.CreateOptions{})
				if err != nil {
					t.Error(err)
				}
				both[n].terminate(t)
			})
		}
	})
	if t.Failed() {
		return
	}
	if both[0].config.Host == both[1].config.Host {
		t.Errorf("both at %s", both[0].config.Host)
	}
}

func TestFailures(t *testing.T) {
	t.Run("port taken", func(t *testing.T) {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
		failsToStart(t, "address already in use", "--data-dir", t.TempDir(), "--port", port)
	})
	t.Run("deadline", func(t *testing.T) {
		failsToStart(t, "not ready after 500ms", "--data-dir", t.TempDir(), "--start-timeout", "500ms")
	})
}

// failsToStart wants an exit code of 1 and a reason on stderr.
func failsToStart(t *testing.T, reason string, args ...string) {
	t.Helper()
	began := time.Now()
	var stdout, stderr bytes.Buffer
	cmd := program(append([]string{"up"}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	defer time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() }).Stop()
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(stderr.String(), reason) || stdout.Len() > 0 {
		t.Errorf("%v, stdout %q, stderr:\n%s", err, &stdout, &stderr)
	}
	t.Logf("after %.1f s: %s", time.Since(began).Seconds(), strings.TrimSpace(stderr.String()))
}

// checkServiceAccount returns a token that may read the namespace's ConfigMaps.
func checkServiceAccount(t *testing.T, i *instance, ns string) string {
	core := i.client.CoreV1()
	took := eventually(t, 5*time.Second, func() error {
		_, err := core.ServiceAccounts(ns).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	t.Logf("service account after %.2f s", took.Seconds())
	eventually(t, 5*time.Second, func() error {
		_, err := core.ConfigMaps(ns).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return err
	})

	request, err := core.ServiceAccounts(ns).CreateToken(ctx, "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	account := tokenClient(t, i, request.Status.Token)
	if _, err := account.CoreV1().ConfigMaps(ns).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Fatalf("without a role: %v", err)
	}

	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get"}}},
	}
	if _, err := i.client.RbacV1().Roles(ns).Create(ctx, role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "default", Namespace: ns}},
	}
	if _, err := i.client.RbacV1().RoleBindings(ns).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, func() error {
		_, err := account.CoreV1().ConfigMaps(ns).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return err
	})
	if _, err := account.CoreV1().Secrets(ns).List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("secrets, which the role does not allow: %v", err)
	}

	// A token for another audience is not one for the API server.
	foreign, err := core.ServiceAccounts(ns).CreateToken(ctx, "default", &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"somewhere-else"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tokenClient(t, i, foreign.Status.Token).CoreV1().ConfigMaps(ns).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("token for another audience: %v", err)
	}
	return request.Status.Token
}

func checkLegacyToken(t *testing.T, i *instance, ns string) {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "legacy", Annotations: map[string]string{corev1.ServiceAccountNameKey: "default"}},
		Type:       corev1.SecretTypeServiceAccountToken,
	}
	if _, err := i.client.CoreV1().Secrets(ns).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var token string
	took := eventually(t, 5*time.Second, func() error {
		secret, err := i.client.CoreV1().Secrets(ns).Get(ctx, "legacy", metav1.GetOptions{})
		if err != nil {
			return err
		}
		token = string(secret.Data[corev1.ServiceAccountTokenKey])
		if token == "" || len(secret.Data[corev1.ServiceAccountRootCAKey]) == 0 {
			return errors.New("the Secret is not filled yet")
		}
		return nil
	})
	t.Logf("filled after %.2f s", took.Seconds())
	if _, err := tokenClient(t, i, token).CoreV1().ConfigMaps(ns).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func tokenClient(t *testing.T, i *instance, token string) kubernetes.Interface {
	t.Helper()
	config := rest.AnonymousClientConfig(i.config)
	config.BearerToken = token
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

var houses = schema.GroupVersionResource{Group: "test.example.com", Version: "v1", Resource: "houses"}

const housesCRD = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: houses.test.example.com}
spec:
  group: test.example.com
  names: {kind: House, plural: houses}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
`

// checkGarbageCollection is about owners of a kind that did not exist when the
// control plane started, made as soon as the API server takes them.
func checkGarbageCollection(t *testing.T, i *instance, ns string) {
	i.kubectl(t, housesCRD, "create", "-f", "-")
	makeHouseWithSecret(t, i, ns, "first")
	deleteHouse(t, i, ns, "first", metav1.DeletePropagationBackground)

	// One that outlives the restarts below.
	makeHouseWithSecret(t, i, ns, "stays")
	// The other way of deleting, where the owner waits for what it owns.
	makeHouseWithSecret(t, i, ns, "second")
	deleteHouse(t, i, ns, "second", metav1.DeletePropagationForeground)

	if _, err := i.client.CoreV1().Secrets(ns).Get(ctx, "stays", metav1.GetOptions{}); err != nil {
		t.Errorf("the Secret whose owner is there: %v", err)
	}
}

// makeHouseWithSecret makes an object of the custom kind and a Secret of the
// same name that it owns.
func makeHouseWithSecret(t *testing.T, i *instance, ns, name string) {
	t.Helper()
	house := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "test.example.com/v1", "kind": "House", "metadata": map[string]any{"name": name},
	}}
	var made *unstructured.Unstructured
	eventually(t, 10*time.Second, func() (err error) {
		made, err = i.dynamic.Resource(houses).Namespace(ns).Create(ctx, house, metav1.CreateOptions{})
		return err
	})
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Name:            name,
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(made, made.GroupVersionKind())},
	}}
	if _, err := i.client.CoreV1().Secrets(ns).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// deleteHouse deletes the object and waits until its Secret is gone too.
func deleteHouse(t *testing.T, i *instance, ns, name string, propagation metav1.DeletionPropagation) {
	t.Helper()
	if _, err := i.client.CoreV1().Secrets(ns).Get(ctx, name, metav1.GetOptions{}); err != nil {
		t.Fatalf("before the deletion: %v", err)
	}
	err := i.dynamic.Resource(houses).Namespace(ns).Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &propagation})
	if err != nil {
		t.Fatal(err)
	}
	took := eventually(t, 10*time.Second, func() error {
		_, err := i.client.CoreV1().Secrets(ns).Get(ctx, name, metav1.GetOptions{})
		return absent(err)
	})
	t.Logf("Secret of %s collected after %.2f s (%s)", name, took.Seconds(), propagation)
	eventually(t, 10*time.Second, func() error {
		_, err := i.dynamic.Resource(houses).Namespace(ns).Get(ctx, name, metav1.GetOptions{})
		return absent(err)
	})
}

// absent turns "not found" into success and success into an error.
func absent(err error) error {
	if err == nil {
		return errors.New("still there")
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func checkKubectl(t *testing.T, i *instance, ns string) {
	const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
`
	if out := i.kubectl(t, deployment, "-n", ns, "apply", "--server-side", "-f", "-"); !strings.Contains(out, "serverside-applied") {
		t.Errorf("apply: %q", out)
	}
	// The Deployment makes a ReplicaSet and that makes pods, which stay pending.
	i.kubectl(t, "", "-n", ns, "wait", "--for=jsonpath={.status.replicas}=2", "--timeout=10s", "deployment/web")
	if out := i.kubectl(t, "", "-n", ns, "get", "pods", "-l", "app=web", "-o", "name"); strings.Count(out, "pod/") != 2 {
		t.Errorf("pods: %q", out)
	}

	token := strings.TrimSpace(i.kubectl(t, "", "-n", ns, "create", "token", "default"))
	if _, err := tokenClient(t, i, token).CoreV1().ConfigMaps(ns).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{}); err != nil {
		t.Errorf("with kubectl's token: %v", err)
	}
	if out := i.kubectl(t, "", "version", "-o", "json"); strings.Count(out, `"gitVersion": "`+builtKubernetesVersion()+`"`) != 2 {
		t.Errorf("client and server should both say %s: %s", builtKubernetesVersion(), out)
	}
}

// checkServiceProxy reaches a server outside of the cluster through
// services/NAME/proxy, the way kubeseal fetches the certificate. kube-apiserver
// goes that way only to endpoints that are pods, so it takes a pod that claims
// the server's address, on a node that exists; and the API refuses endpoints
// on loopback, so the machine needs another address.
func checkServiceProxy(t *testing.T, i *instance, ns string) {
	ip := otherAddress(t)
	listener, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s", r.URL.Path)
	}))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	port := listener.Addr().(*net.TCPAddr).Port

	i.kubectl(t, fmt.Sprintf(`
apiVersion: v1
kind: Node
metadata: {name: outside}
---
apiVersion: v1
kind: Pod
metadata: {name: outside, namespace: %[1]s, labels: {app: outside}}
spec:
  nodeName: outside
  containers: [{name: server, image: none}]
---
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: %[1]s}
spec:
  selector: {app: outside}
  ports: [{name: http, port: 8080, targetPort: %[2]d}]
`, ns, port), "create", "-f", "-")
	i.kubectl(t, "", "-n", ns, "patch", "pod", "outside", "--subresource=status", "-p", fmt.Sprintf(
		`{"status":{"phase":"Running","podIP":%[1]q,"podIPs":[{"ip":%[1]q}],"conditions":[{"type":"Ready","status":"True"}]}}`, ip))
	took := eventually(t, 5*time.Second, func() error {
		body, err := i.client.CoreV1().Services(ns).ProxyGet("http", "outside", "http", "/v1/cert.pem", nil).DoRaw(ctx)
		if err == nil && string(body) != "hello /v1/cert.pem" {
			err = fmt.Errorf("answer %q", body)
		}
		return err
	})
	t.Logf("answer after %.2f s", took.Seconds())
}

// otherAddress is an IPv4 address of this machine other than loopback.
func otherAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if ip := address.(*net.IPNet).IP; ip.To4() != nil && ip.IsGlobalUnicast() {
			return ip.String()
		}
	}
	t.Fatal("the service proxy refuses loopback, and the machine has no other address: give it one")
	return ""
}

func checkNamespaceDeletion(t *testing.T, i *instance) {
	const ns = "village"
	if _, err := i.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	makeHouseWithSecret(t, i, ns, "any")
	if err := i.client.CoreV1().Namespaces().Delete(ctx, ns, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	took := eventually(t, 20*time.Second, func() error {
		_, err := i.client.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{})
		return absent(err)
	})
	t.Logf("gone after %.2f s", took.Seconds())
}
