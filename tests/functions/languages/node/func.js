const fdk = require('@fnproject/fdk')

let calls = 0

fdk.handle((input, context) => {
  context.responseContentType = 'text/plain'
  return String(++calls)
})
