//go:build integration

package app

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/convergetest"
	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/api/internal/ory"
	"gatehouse.internal/api/internal/ory/ketotest"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/libs/config"
)

func ketoSettings(t *testing.T, w *convergetest.World) Settings {
	t.Helper()
	s := valid()
	s.Database.URL = config.Secret(w.Database.URL(t, databasetest.Runtime))
	s.Keto.ReadURL, s.Keto.WriteURL = w.Server.ReadURL, w.Server.WriteURL
	s.UpstreamTimeout = 20 * time.Second
	return s
}

func TestServeRefusesAnotherModel(t *testing.T) {
	w := convergetest.New(t)
	w.Server.Stop(t)
	w.Server.SetModel(t, strings.Replace(ketotest.Model(t), "    publish_config:", "    publish_settings:", 1))
	w.Server.Start(t)
	err := Run(t.Context(), ketoSettings(t, w), io.Discard)
	require.ErrorIs(t, err, ory.ErrModel)
	require.ErrorContains(t, err, "Gateway.publish_config")
}

func TestModelIsVerifiedWhenKetoComes(t *testing.T) {
	w := convergetest.New(t)
	w.Server.Stop(t)
	m := &model{keto: w.Keto}
	require.NoError(t, m.refuse(t.Context(), slog.New(slog.DiscardHandler)), "a Keto that is not there yet stops nobody")
	require.Error(t, m.ready(t.Context()), "but nobody is let in before it was seen")

	w.Server.Start(t)
	require.NoError(t, m.ready(t.Context()))
	w.Server.Stop(t)
	require.NoError(t, m.ready(t.Context()), "an outage later is answered request by request")
	require.Error(t, m.check(t.Context()), "and shown among the dependencies")
}

func TestReconcileCommand(t *testing.T) {
	w := convergetest.New(t)
	s := ketoSettings(t, w)
	file := settingsFile(t, strings.NewReplacer(
		"postgres://gatehouse_api:x@127.0.0.1:5432/gatehouse?sslmode=disable", s.Database.URL.Reveal(),
		"http://127.0.0.1:4466", s.Keto.ReadURL, "http://127.0.0.1:4467", s.Keto.WriteURL, "upstream_timeout: 2s", "upstream_timeout: 20s",
	).Replace(sample))
	reconcile := func(flags ...string) (string, error) {
		var out bytes.Buffer
		err := Main(t.Context(), append([]string{"reconcile", "--config", file}, flags...), &out)
		return out.String(), err
	}
	ann, organization := w.Person(t), w.Organization(t)
	w.Join(t, organization, ann, permission.Plain)
	object := permission.Of(permission.Organization, organization)
	out, err := reconcile()
	require.NoError(t, err)
	require.Contains(t, out, "nothing to do")

	stray := permission.Tuple{Object: object, Relation: "owners", Subject: permission.Person(uuid.New()).Set()}
	lost := permission.Tuple{Object: object, Relation: "members", Subject: permission.Person(ann).Set()}
	require.NoError(t, w.Tuples.Write(t.Context(), []permission.Tuple{stray}, []permission.Tuple{lost}))
	out, err = reconcile("--plan")
	require.ErrorIs(t, err, errDiffers)
	require.Contains(t, out, "- "+stray.String())
	require.Contains(t, out, "+ "+lost.String())

	out, err = reconcile("--apply")
	require.NoError(t, err)
	require.Contains(t, out, "- "+stray.String())
	require.Contains(t, out, "applied")
	out, err = reconcile("--plan")
	require.NoError(t, err)
	require.Contains(t, out, "nothing to do")

	w.Server.Stop(t)
	_, err = reconcile("--plan")
	require.Error(t, err)
	w.Server.Start(t)
}
