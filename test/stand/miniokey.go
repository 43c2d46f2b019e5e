package stand

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7/pkg/signer"
)

// Rights of a key that copies backups into a bucket.
var (
	RightsToAdd    = []string{"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListBucketMultipartUploads", "s3:GetBucketLocation"}
	RightsToRemove = append(RightsToAdd[:len(RightsToAdd):len(RightsToAdd)], "s3:DeleteObject")
)

// Key makes a key that may do these things (such as s3:PutObject) in one bucket, and nothing else.
func (m *MinIOServer) Key(ctx context.Context, bucket string, rights ...string) (accessKey, secretKey string, err error) {
	accessKey, secretKey = rand.Text()[:20], rand.Text()
	policy := map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Effect": "Allow", "Action": rights, "Resource": []string{"arn:aws:s3:::" + bucket, "arn:aws:s3:::" + bucket + "/*"},
	}}}
	content, err := json.Marshal(map[string]any{"policy": policy, "accessKey": accessKey, "secretKey": secretKey, "name": "test"})
	if err != nil {
		return "", "", err
	}
	return accessKey, secretKey, m.administer(ctx, "/minio/admin/v3/add-service-account", content)
}

// administer puts content to MinIO's administration, which wants it encrypted with the key of who asks.
func (m *MinIOServer) administer(ctx context.Context, path string, content []byte) error {
	sealed, err := sealForMinIO(m.SecretKey, content)
	if err != nil {
		return fmt.Errorf("administer MinIO: %w", err)
	}
	return m.askAdministration(ctx, http.MethodPut, path, sealed)
}

// askAdministration fails as long as MinIO has not read its keys, which comes after its first answers.
func (m *MinIOServer) askAdministration(ctx context.Context, method, path string, sealed []byte) error {
	request, err := http.NewRequestWithContext(ctx, method, m.Endpoint+path, bytes.NewReader(sealed))
	if err != nil {
		return fmt.Errorf("administer MinIO: %w", err)
	}
	digest := sha256.Sum256(sealed)
	request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(digest[:]))
	client := http.Client{Transport: m.transport}
	response, err := client.Do(signer.SignV4(*request, m.AccessKey, m.SecretKey, "", ""))
	if err != nil {
		return fmt.Errorf("administer MinIO: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		answer, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return fmt.Errorf("administer MinIO: %s: %s", response.Status, strings.TrimSpace(string(answer)))
	}
	return nil
}

// sealForMinIO encrypts as MinIO's administration expects it: salt, the number of the method (PBKDF2 and
// AES-256-GCM), nonce, then one closing fragment whose nonce ends in its number and whose additional data are
// a flag and the tag of fragment 0 (the madmin and sio packages of MinIO).
func sealForMinIO(password string, content []byte) ([]byte, error) {
	const (
		method     = 2
		iterations = 8192
		closing    = 0x80
	)
	sealed := make([]byte, 32+1+8)
	_, _ = rand.Read(sealed)
	sealed[32] = method
	salt, nonce := sealed[:32], sealed[33:]
	key, err := pbkdf2.Key(sha256.New, password, salt, iterations, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	numbered := func(fragment byte) []byte { return append(nonce[:8:8], fragment, 0, 0, 0) }
	additional := append([]byte{closing}, gcm.Seal(nil, numbered(0), nil, nil)...)
	return gcm.Seal(sealed[:len(sealed):len(sealed)], numbered(1), content, additional), nil
}
