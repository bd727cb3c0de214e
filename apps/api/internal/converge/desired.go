package converge

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/converge/row"
	"gatehouse.internal/api/internal/permission"
)

// desired reads which tuples the objects should have. An object that is not in the answer does not exist: it should have none,
// and nothing will ever want it again.
func desired(ctx context.Context, db row.DBTX, objects ...permission.Object) (map[permission.Object][]permission.Tuple, error) {
	ids := map[permission.Namespace][]uuid.UUID{}
	out := map[permission.Object][]permission.Tuple{}
	rows := row.New(db)
	for _, object := range objects {
		if object == permission.PlatformObject {
			admins, err := rows.PlatformAdmins(ctx)
			if err != nil {
				return nil, fmt.Errorf("read platform admins: %w", err)
			}
			out[object] = permission.PlatformTuples(admins)
			continue
		}
		// What is no UUID, as rows spell it, is no row.
		if id, err := uuid.Parse(object.ID); err == nil && id.String() == object.ID {
			ids[object.Namespace] = append(ids[object.Namespace], id)
		}
	}
	for namespace, read := range map[permission.Namespace]func(context.Context, *row.Queries, []uuid.UUID, map[permission.Object][]permission.Tuple) error{
		permission.Organization: organizations,
		permission.Gateway:      gateways,
		permission.Product:      products,
	} {
		if len(ids[namespace]) == 0 {
			continue
		}
		if err := read(ctx, rows, ids[namespace], out); err != nil {
			return nil, fmt.Errorf("read rows of %s: %w", namespace, err)
		}
	}
	return out, nil
}

func organizations(ctx context.Context, rows *row.Queries, ids []uuid.UUID, out map[permission.Object][]permission.Tuple) error {
	found, err := rows.Organizations(ctx, ids)
	if err != nil {
		return err
	}
	memberships, err := rows.Members(ctx, ids)
	if err != nil {
		return err
	}
	members := map[uuid.UUID][]permission.Member{}
	for _, m := range memberships {
		members[m.OrganizationID] = append(members[m.OrganizationID], permission.Member{User: m.UserID, Role: permission.Role(m.Role)})
	}
	for _, id := range found {
		out[permission.Of(permission.Organization, id)] = permission.OrganizationTuples(id, members[id])
	}
	return nil
}

func gateways(ctx context.Context, rows *row.Queries, ids []uuid.UUID, out map[permission.Object][]permission.Tuple) error {
	found, err := rows.Gateways(ctx, ids)
	if err != nil {
		return err
	}
	given, err := rows.Grants(ctx, ids)
	if err != nil {
		return err
	}
	grants := map[uuid.UUID][]permission.Grant{}
	for _, g := range given {
		grants[g.GatewayID] = append(grants[g.GatewayID], permission.Grant{Kind: g.SubjectKind, ID: g.SubjectID, Role: permission.Role(g.Role)})
	}
	for _, gateway := range found {
		out[permission.Of(permission.Gateway, gateway.ID)] = permission.GatewayTuples(gateway.ID, gateway.OrganizationID, grants[gateway.ID])
	}
	return nil
}

func products(ctx context.Context, rows *row.Queries, ids []uuid.UUID, out map[permission.Object][]permission.Tuple) error {
	found, err := rows.Products(ctx, ids)
	if err != nil {
		return err
	}
	for _, product := range found {
		out[permission.Of(permission.Product, product.ID)] =
			permission.ProductTuples(product.ID, product.GatewayID, permission.Visibility(product.Visibility))
	}
	return nil
}
