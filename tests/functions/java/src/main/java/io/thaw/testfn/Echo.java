package io.thaw.testfn;

import com.fnproject.fn.api.InputEvent;
import java.util.Map;

/** Answers what came in. */
public class Echo {

    public String text(String body) {
        return body;
    }

    public byte[] bytes(byte[] body) {
        return body;
    }

    public Map<String, Object> json(Map<String, Object> body) {
        return body;
    }

    public String headers(InputEvent input) {
        StringBuilder out = new StringBuilder();
        input.getHeaders().asMap().forEach((name, values) ->
                values.forEach(value -> out.append(name).append(": ").append(value).append('\n')));
        return out.toString();
    }
}
