import java.io.File;
import java.util.EnumSet;
import javax.servlet.DispatcherType;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.util.descriptor.web.FilterDef;
import org.apache.tomcat.util.descriptor.web.FilterMap;
import org.springframework.http.converter.json.MappingJackson2HttpMessageConverter;
import org.springframework.web.context.ContextLoaderListener;
import org.springframework.web.context.support.AnnotationConfigWebApplicationContext;
import org.springframework.web.filter.DelegatingFilterProxy;
import org.springframework.web.servlet.DispatcherServlet;
import org.springframework.web.servlet.mvc.annotation.ResponseStatusExceptionResolver;
import org.springframework.web.servlet.mvc.method.annotation.RequestMappingHandlerAdapter;
import org.springframework.web.servlet.mvc.method.annotation.RequestMappingHandlerMapping;

/** What Spring Boot does for the page's classes: a Tomcat, one context, and the filter before all else, for every kind of dispatch. */
public class SpringServer {
  /** Bean by bean: a @Configuration needs CGLIB, and Debian's Spring 4.3 cannot run its own. */
  public static class Adapter extends RequestMappingHandlerAdapter {
    public Adapter() {
      getMessageConverters().add(new MappingJackson2HttpMessageConverter());
    }
  }

  public static void main(String[] args) throws Exception {
    var beans = new AnnotationConfigWebApplicationContext();
    beans.register(RequestMappingHandlerMapping.class, Adapter.class, ResponseStatusExceptionResolver.class);
    beans.register(TokenFilter.class, Api.class);

    var tomcat = new Tomcat();
    tomcat.setBaseDir(new File("tomcat").getAbsolutePath());
    tomcat.getConnector().setProperty("address", "127.0.0.1");
    tomcat.getConnector().setPort(Integer.parseInt(System.getenv("PORT")));
    var web = tomcat.addContext("", null);
    web.addServletContainerInitializer((classes, servlets) -> servlets.addListener(new ContextLoaderListener(beans)), null);
    Tomcat.addServlet(web, "dispatcher", new DispatcherServlet(beans)).setLoadOnStartup(1);
    web.addServletMappingDecoded("/", "dispatcher");
    var filter = new FilterDef();
    filter.setFilterName("tokenFilter");
    filter.setFilter(new DelegatingFilterProxy("tokenFilter"));
    web.addFilterDef(filter);
    var everything = new FilterMap();
    everything.setFilterName("tokenFilter");
    everything.addURLPattern("/*");
    for (var kind : EnumSet.allOf(DispatcherType.class)) everything.setDispatcher(kind.name());
    web.addFilterMap(everything);
    tomcat.start();
    // Tomcat would go on without it, and answer 404.
    if (!web.getState().isAvailable()) System.exit(1);
    tomcat.getServer().await();
  }
}
