package com.example.quotes;

import com.fnproject.fn.api.FnConfiguration;
import com.fnproject.fn.api.RuntimeContext;
import java.util.HashMap;
import java.util.Map;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;

/** The function: an entry point into a Spring application that was started once, long before most calls. */
public class QuoteFunction {

    private ConfigurableApplicationContext spring;
    private Quotes quotes;

    /** Starts Spring, within the first call of a cold start. A thawed function has it started already. */
    @FnConfiguration
    public void start(RuntimeContext context) {
        Map<String, Object> properties = new HashMap<>();
        context.getConfigurationByKey("DB_URL").ifPresent(url -> properties.put("spring.datasource.url", url));
        context.getConfigurationByKey("DB_USER").ifPresent(user -> properties.put("spring.datasource.username", user));
        context.getConfigurationByKey("DB_PASSWORD").ifPresent(word -> properties.put("spring.datasource.password", word));
        spring = new SpringApplicationBuilder(Application.class)
                .web(WebApplicationType.NONE)
                .properties(properties)
                .run();
        quotes = spring.getBean(Quotes.class);
    }

    /** Answers with a quote about {@code topic}, out of the database. */
    public Map<String, Object> find(String topic) {
        return quotes.about(topic.isBlank() ? "winter" : topic.strip());
    }
}
