// What Kratos tells the API when an identity changed: which one. The API reads the rest itself.
function(ctx) { identity: ctx.identity.id }
