from fdk import response

calls = 0


def handler(ctx, data=None):
    global calls
    calls += 1
    return response.Response(ctx, response_data=str(calls), headers={"Content-Type": "text/plain"})
