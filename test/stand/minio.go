package stand

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// MinIO is the S3-compatible server of the stand. It is no Debian package: scripts/install-tools builds it.
var MinIO = Tool{"MinIO", nil, []string{"minio"}}

// MinIOOptions describe a server; the zero value speaks plain HTTP and keeps its data in dir/minio.
type MinIOOptions struct {
	TLS    bool   // with a self-signed certificate, see MinIOServer.CAFile
	Data   string // where objects lie, for example a small file system that can be filled
	Region string // default us-east-1; it refuses requests that were signed for another
}

// MinIOServer is S3-compatible storage with a key of its own that may do everything.
type MinIOServer struct {
	Address   string // host:port
	Endpoint  string // http:// or https:// and Address
	AccessKey string
	SecretKey string
	CAFile    string // with TLS, what a client has to trust

	transport *http.Transport
	client    *minio.Client
	process   *process
}

// StartMinIO starts MinIO with its files in dir/minio. It ends with ctx or Close.
func StartMinIO(ctx context.Context, dir string, options MinIOOptions) (*MinIOServer, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(dir, "minio")
	if options.Data == "" {
		options.Data = filepath.Join(home, "data")
	}
	certificates := filepath.Join(home, "certs")
	for _, made := range []string{options.Data, certificates} {
		if err := os.MkdirAll(made, 0o700); err != nil {
			return nil, fmt.Errorf("start MinIO: %w", err)
		}
	}
	m := &MinIOServer{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), AccessKey: rand.Text(), SecretKey: rand.Text(), transport: &http.Transport{}}
	m.Endpoint = "http://" + m.Address
	if options.TLS {
		m.Endpoint = "https://" + m.Address
		m.CAFile = filepath.Join(certificates, "public.crt")
		if err := WriteCertificate(m.CAFile, filepath.Join(certificates, "private.key"), CertificateOptions{}); err != nil {
			return nil, fmt.Errorf("start MinIO: %w", err)
		}
	}
	if options.Region == "" {
		options.Region = "us-east-1"
	}
	if err := m.connect(options.Region); err != nil {
		return nil, fmt.Errorf("start MinIO: %w", err)
	}
	// With MINIO_CI_CD it takes a file system that is the root's or small.
	environment := []string{
		"MINIO_ROOT_USER=" + m.AccessKey, "MINIO_ROOT_PASSWORD=" + m.SecretKey, "MINIO_BROWSER=off", "MINIO_UPDATE=off",
		"MINIO_CI_CD=1", "HOME=" + home, "GOMAXPROCS=2",
		"MINIO_SITE_REGION=" + options.Region,
	}
	self := Account{UID: os.Getuid(), GID: os.Getgid()}
	m.process, err = startProcess(ctx, "MinIO", filepath.Join(home, "output.log"), self, home, environment,
		"minio", "server", options.Data, "--address", m.Address, "--certs-dir", certificates, "--quiet")
	if err != nil {
		return nil, err
	}
	return m, m.process.await(ctx, func(ctx context.Context) error {
		if _, err := m.client.ListBuckets(ctx); err != nil {
			return err
		}
		return m.askAdministration(ctx, http.MethodGet, "/minio/admin/v3/list-users", nil)
	})
}

// connect makes a client that trusts the server's certificate.
func (m *MinIOServer) connect(region string) error {
	if m.CAFile != "" {
		content, err := os.ReadFile(m.CAFile)
		if err != nil {
			return err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(content)
		m.transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	client, err := minio.New(m.Address, &minio.Options{
		Creds: credentials.NewStaticV4(m.AccessKey, m.SecretKey, ""), Secure: m.CAFile != "", Region: region,
		Transport: m.transport, MaxRetries: 1,
	})
	m.client = client
	return err
}

// Client may do everything, and looks at the storage past the code under test.
func (m *MinIOServer) Client() *minio.Client { return m.client }

// TLS is the client's side of TLS that trusts the server.
func (m *MinIOServer) TLS() *tls.Config { return m.transport.TLSClientConfig.Clone() }

// BucketOptions describe a bucket.
type BucketOptions struct {
	Versioned bool // what is overwritten or removed stays as an older version
	Locked    bool // versioned, and each version stays for a day whoever asks for its removal
}

// MakeBucket makes a bucket.
func (m *MinIOServer) MakeBucket(ctx context.Context, name string, options BucketOptions) error {
	err := m.client.MakeBucket(ctx, name, minio.MakeBucketOptions{ObjectLocking: options.Locked})
	if err == nil && options.Versioned {
		err = m.client.EnableVersioning(ctx, name)
	}
	if err == nil && options.Locked {
		mode, validity, unit := minio.Compliance, uint(1), minio.Days
		err = m.client.SetObjectLockConfig(ctx, name, &mode, &validity, &unit)
	}
	if err != nil {
		return fmt.Errorf("make bucket %s: %w", name, err)
	}
	return nil
}

// Pid is the process id of the server.
func (m *MinIOServer) Pid() int { return m.process.pid }

// Kill is kill -9.
func (m *MinIOServer) Kill() { m.process.kill() }

// Close ends the server.
func (m *MinIOServer) Close() error { return m.process.stop() }
