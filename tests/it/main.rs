mod apiserver;
mod apiserver_kubectl;
